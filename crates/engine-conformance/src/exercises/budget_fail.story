main started
step ask model given 1
step ask model gave 1, spent $0.10 and 120 tokens
compensating [forget] because budget: run: $0.10 of $0.10 are spent
step forget given 1, undoing step ask model
step forget gave 1
ended: budget: run: $0.10 of $0.10 are spent, 1 undone
