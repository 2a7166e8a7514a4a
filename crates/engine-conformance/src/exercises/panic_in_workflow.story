main started
step quick given 1
step slow given 2
step quick gave 1
parked by the engine: panicked
unparked by ann
step slow gave 2
completed: [1,2]
