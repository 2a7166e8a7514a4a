main started
step book given "hotel"
step book gave "hotel"
step divide given 0
step divide failed: bug: panicked: division by zero (ambiguous)
step divide given up after 1 (class)
compensating [undo] because bug: panicked: division by zero (ambiguous)
step undo given "hotel", undoing step book
step undo gave "hotel"
ended: bug: panicked: division by zero (ambiguous), 1 undone
