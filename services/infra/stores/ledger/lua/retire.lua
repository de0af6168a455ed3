-- Remove consumers that hold nothing and have been silent for long, since every process brings its own name.
-- KEYS  1 stream
-- ARGV  1 group, 2 silent milliseconds
local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
if consumers.err then
    return
end
for _, facts in ipairs(consumers) do
    local consumer = {}
    for index = 1, #facts, 2 do
        consumer[facts[index]] = facts[index + 1]
    end
    if consumer.pending == 0 and consumer.idle >= tonumber(ARGV[2]) then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    end
end
