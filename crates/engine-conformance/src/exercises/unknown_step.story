main started
step work given 1
step work gave 1
step late given 2, held back: code
parked by the engine: no_code
recovered
unparked by replay
parked by the engine: no_code
recovered
unparked by replay
step late goes
step late gave 2
completed: 2
