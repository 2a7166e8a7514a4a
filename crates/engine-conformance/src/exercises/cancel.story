main started
step book given "hotel"
step book gave "hotel"
step think given 1
told to stop (cancelled) by ann: not wanted any more
step think no longer wanted
step think failed: cancelled: no longer wanted (ambiguous)
compensating [undo] because cancelled: not wanted any more
step undo given "hotel", undoing step book
step undo gave "hotel"
ended: cancelled: not wanted any more, 1 undone
