main started
step book given "parent's"
step book gave "parent's"
child work asked for
told to stop (cancelled) by ann: not wanted any more
child work failed: cancelled: its parent was cancelled
compensating [undo] because cancelled: not wanted any more
step undo given "parent's", undoing step book
step undo gave "parent's"
ended: cancelled: not wanted any more, 1 undone

work started as a child
step book given "child's"
step book gave "child's"
signal never is awaited
told to stop (cancelled) by parent: its parent was cancelled
signal never no longer wanted
compensating [undo] because cancelled: its parent was cancelled
step undo given "child's", undoing step book
step undo gave "child's"
ended: cancelled: its parent was cancelled, 1 undone
