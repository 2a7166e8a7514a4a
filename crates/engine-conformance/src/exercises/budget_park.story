main started
step ask model given 1
step ask model gave 1, spent $0.10 and 120 tokens
parked: question about ask model (budget)
budget raised by $0.10, 0 tokens by ann
question about ask model (budget) answered by ann: retry
step ask model#2 given 2
step ask model#2 gave 2, spent $0.10 and 120 tokens
completed: 2
