main started
step book given "hotel"
step book gave "hotel"
child approval asked for
told to stop (timeout) by deadline: the run took longer than 1.6s
child approval failed: cancelled: its parent was cancelled
compensating [undo] because timeout: the run took longer than 1.6s
step undo given "hotel", undoing step book
step undo gave "hotel"
ended: timeout: the run took longer than 1.6s, 1 undone

approval started as a child
signal approve is awaited
told to stop (cancelled) by parent: its parent was cancelled
signal approve no longer wanted
ended: cancelled: its parent was cancelled
