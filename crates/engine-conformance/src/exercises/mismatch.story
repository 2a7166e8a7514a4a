main started
step work given 1
step work gave 1
signal go is awaited
recovered
parked by the engine: mismatch
signal go received: null
recovered
unparked by replay
step work#2 given 2
step work#2 gave 2
completed: 2
