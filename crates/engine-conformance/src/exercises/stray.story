main started
step work given 1
step work gave 1
parked by the engine: stray
recovered
unparked by replay
sleep
sleep is over
completed: "slept"
