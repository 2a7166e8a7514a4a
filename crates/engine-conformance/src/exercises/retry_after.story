main started
step limited given 1
step limited failed: rate_limited: slow down
step limited wait for attempt 2 of 5 (retry_after)
step limited wait for attempt 2 is over
step limited attempt 2
step limited gave "done"
completed: "done"
