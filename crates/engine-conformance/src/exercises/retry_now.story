main started
step flaky given 1
step flaky failed: server: busy
step flaky wait for attempt 2 of 5 (backoff)
step flaky wait for attempt 2 is over
step flaky attempt 2
step flaky gave "done"
signal end is awaited
signal end received: null
completed: "done"
