-- Note that a consumer's process lives, and when this server started to serve.
-- KEYS  1 presence key, which is also the channel that the process listens to, 2 server hash
-- ARGV  1 milliseconds that the key is kept
-- Returns how many connections listen to the channel.
local time = redis.call('TIME')
local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local known = redis.call('HGET', KEYS[2], 'run')
if known ~= run then
    -- Of a server that nobody was connected to before, nobody has to come back.
    redis.call('HSET', KEYS[2], 'run', run, 'since', known and now or '0')
end
redis.call('SET', KEYS[1], now, 'PX', ARGV[1])
return redis.call('PUBSUB', 'NUMSUB', KEYS[1])[2]
