main started
step never given 0
step never no longer wanted
signal enough is awaited
step search given 1
signal enough received: true
step search no longer wanted
step search failed: cancelled: no longer wanted (ambiguous)
step report given 2
step report gave 2
completed: 2
