main started
step book given "hotel"
step book gave "hotel"
step book#2 given "flight"
step book#2 gave "flight"
step pay given 1
step pay failed: permission: no
step pay given up after 1 (class)
compensating [undo, undo] because permission: no
step undo given "flight", undoing step book#2
told to stop (cancelled) by ann: not wanted any more
step undo gave "flight"
step undo#2 given "hotel", undoing step book
step undo#2 gave "hotel"
ended: permission: no, 2 undone
