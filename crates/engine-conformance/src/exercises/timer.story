main started
sleep
sleep is over
sleep#2
sleep#2 is over
completed: "awake"
