main started
step stream given 1
step stream beats 1
step stream beats 2
step stream beats 3
step stream failed: stalled: no heartbeat for 800ms (ambiguous)
step stream wait for attempt 2 of 5 (backoff)
step stream wait for attempt 2 is over
step stream attempt 2
step stream beats 1
step stream beats 2
step stream beats 3
step stream gave "whole"
completed: "whole"
