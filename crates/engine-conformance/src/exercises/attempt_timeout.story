main started
step slow given 1
step slow failed: timeout: no answer within 800ms (ambiguous)
step slow wait for attempt 2 of 5 (backoff)
step slow wait for attempt 2 is over
step slow attempt 2
step slow gave "done"
completed: "done"
