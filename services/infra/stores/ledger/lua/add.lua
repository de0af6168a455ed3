-- Accept a job once per result id.
-- KEYS  1 job hash, 2 inspect stream, 3 events stream
-- ARGV  1 body digest, 2 job, 3 result id, 4 event, 5 events kept
-- Returns added, duplicate or conflict.
local known = redis.call('HGET', KEYS[1], 'digest')
if known then
    return known == ARGV[1] and 'duplicate' or 'conflict'
end
-- The first write refuses at maxmemory, so a full server takes the whole job or nothing of it.
redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'stage', 'waiting', 'job', ARGV[2])
redis.call('XADD', KEYS[2], '*', 'result_id', ARGV[3], 'job', ARGV[2])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[5], '*', 'event', ARGV[4])
return 'added'
