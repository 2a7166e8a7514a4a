main started
signal item is awaited
signal item#2 is awaited
signal other received: "not meant"
signal item received: "a"
signal item received: "b"
completed: ["a","b"]
