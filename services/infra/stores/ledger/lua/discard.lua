-- Move an entry that nobody can read to the dead letters.
-- KEYS  1 stream, 2 job hash, 3 dead stream
-- ARGV  1 group, 2 entry id, 3 dead letter, 4 problem, 5 dead letters kept
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
local stage = redis.call('HGET', KEYS[2], 'stage')
if stage == 'waiting' or stage == 'diagnosing' then
    redis.call('HSET', KEYS[2], 'stage', 'dead', 'problem', ARGV[4])
end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[5], '*', 'dead_letter', ARGV[3])
