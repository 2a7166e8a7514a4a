main started
child work asked for
told to stop (cancelled) by ann: not wanted any more
child work failed: cancelled: its parent was cancelled
ended: cancelled: not wanted any more

work started as a child
step forever given 1
told to stop (cancelled) by parent: its parent was cancelled
step forever no longer wanted
step forever failed: cancelled: no longer wanted (ambiguous)
ended: cancelled: its parent was cancelled
