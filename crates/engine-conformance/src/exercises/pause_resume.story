main started
step slow given 1
paused by ann: look at it
step slow gave 1
step quick given 2, held back: paused
step quick#2 given 3, held back: paused
resumed by ann
step quick goes
step quick gave 2
step quick#2 goes
step quick#2 gave 3
completed: [2,3]
