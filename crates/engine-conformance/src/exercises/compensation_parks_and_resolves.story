main started
step book given "train"
step book gave "train"
step book#2 given "hotel"
step book#2 gave "hotel"
step book#3 given "flight"
step book#3 gave "flight"
step pay given 1
step pay failed: permission: no
step pay given up after 1 (class)
compensating [undo, gone, undo] because permission: no
step undo given "flight", undoing step book#3
step undo failed: permission: broken
step undo given up after 1 (class)
parked: question about undo (compensation_failed)
question about undo (compensation_failed) answered by ann: retry
step undo attempt 2, undoing step book#3
step undo gave "flight"
step gone given "hotel", undoing step book#2
step gone failed: not_found: no
step gone given up after 1 (class)
parked: question about gone (compensation_failed)
question about gone (compensation_failed) answered by ann: done: "by phone"
step undo#2 given "train", undoing step book
step undo#2 gave "train"
ended: permission: no, 3 undone, 1 of them by hand
