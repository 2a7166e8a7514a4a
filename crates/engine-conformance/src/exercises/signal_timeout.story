main started
signal never is awaited
signal's limit
signal's limit is over
signal never no longer wanted
signal approve is awaited
signal's limit#2
signal approve received: true
signal's limit#2 no longer wanted
completed: true
