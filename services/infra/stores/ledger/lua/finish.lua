-- End a delivery with a verdict, a report or a dead letter, unless the job has moved on already.
-- KEYS  1 queue stream, 2 job hash, 3 results stream, 4 events stream, 5 diagnose stream, 6 dead stream
-- ARGV  1 group, 2 entry id, 3 result id, 4 stage expected, 5 stage reached, 6 event,
--       7 events and dead letters kept, 8 diagnosis job or '', 9 dead letter or '',
--       10… pairs of field and value to set: the results
-- Returns committed or already.

-- These two first: they free memory, and a script that has written may go on writing at maxmemory,
-- so a full server can still be drained.
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
if redis.call('HGET', KEYS[2], 'stage') ~= ARGV[4] then
    return 'already'
end
local fields = {'stage', ARGV[5]}
for index = 10, #ARGV do
    fields[#fields + 1] = ARGV[index]
end
redis.call('HSET', KEYS[2], unpack(fields))
redis.call('XADD', KEYS[3], '*', 'result_id', ARGV[3], unpack(fields))
redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[7], '*', 'event', ARGV[6])
if ARGV[8] ~= '' then
    redis.call('XADD', KEYS[5], '*', 'result_id', ARGV[3], 'job', ARGV[8])
end
if ARGV[9] ~= '' then
    redis.call('XADD', KEYS[6], 'MAXLEN', '~', ARGV[7], '*', 'dead_letter', ARGV[9])
end
return 'committed'
