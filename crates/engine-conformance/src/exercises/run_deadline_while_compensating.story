main started
step book given "hotel"
step book gave "hotel"
step pay given 1
step pay failed: permission: no
step pay given up after 1 (class)
compensating [undo] because permission: no
step undo given "hotel", undoing step book
step undo failed: server: busy
step undo wait for attempt 2 of 5 (backoff)
told to stop (timeout) by deadline: the run took longer than 1.2s
step undo wait for attempt 2 is over
step undo attempt 2, undoing step book
step undo failed: server: busy
step undo wait for attempt 3 of 5 (backoff)
step undo wait for attempt 3 is over
step undo attempt 3, undoing step book
step undo gave "hotel"
ended: permission: no, 1 undone
