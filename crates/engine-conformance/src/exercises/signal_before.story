main started
signal go is awaited
signal item received: "a"
signal item received: "b"
signal go received: null
step work
step work gave null
signal item is awaited
signal item#2 is awaited
signal item#3 is awaited
signal's limit
signal's limit is over
signal item#3 no longer wanted
completed: ["a","b","none"]
