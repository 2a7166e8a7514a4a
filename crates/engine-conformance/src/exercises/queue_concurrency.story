main started
step call given 1
step call#2 given 2, held back: queue
step call#3 given 3, held back: queue
step call#4 given 4, held back: queue
step call gave 1
step call#4 goes
step call#4 gave 4
step call#2 goes
step call#2 gave 2
step call#3 goes
step call#3 gave 3
completed: [1,2,3,4]
