main started
step charge given 5
step charge failed: connection: no answer came (ambiguous)
step charge given up after 1 (attempts)
compensating [void] because connection: no answer came (ambiguous)
step void given "by key", undoing step charge
step void gave "by key"
ended: connection: no answer came (ambiguous), 1 undone
