main started
step flaky given 1
step flaky failed: server: busy the 1. time
step flaky wait for attempt 2 of 5 (backoff)
step flaky wait for attempt 2 is over
step flaky attempt 2
step flaky failed: server: busy the 2. time
step flaky wait for attempt 3 of 5 (backoff)
step flaky wait for attempt 3 is over
step flaky attempt 3
step flaky gave "done"
completed: "done"
