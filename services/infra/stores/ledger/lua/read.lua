-- Hand out entries: first what was requeued, then what a lost consumer held, then new ones.
-- KEYS  1 stream, 2 server hash
-- ARGV  1 group, 2 consumer, 3 count, 4 lease in milliseconds, 5 idle milliseconds that a requeued entry shows,
--       6 presence key without the consumer's name, 7 milliseconds after which a presence is stale,
--       8 milliseconds that consumers have to come back after a restart of the server
-- Returns a list of {entry id, deliveries, {field, value, …}}.
local stream, group, consumer, count = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local taken = {}

local function now()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- After a restart every consumer looks lost until it has connected again.
local function has_been_up(milliseconds)
    local record = redis.call('HMGET', KEYS[2], 'run', 'since')
    if not record[1] then
        return true
    end
    local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
    return record[1] == run and now() - record[2] >= milliseconds
end

-- Known to be lost: it has shown itself before, is silent now, and its connection is closed.
local function is_lost(holder)
    local key = ARGV[6] .. holder
    local seen = redis.call('GET', key)
    return seen and now() - seen >= tonumber(ARGV[7]) and redis.call('PUBSUB', 'NUMSUB', key)[2] == 0
end

local function take(pending)
    for _, row in ipairs(pending) do
        local entry = redis.call('XCLAIM', stream, group, consumer, 0, row[1])[1]
        -- Redis 6.2 gives false, a later one nothing, for an entry that was deleted while pending.
        if entry then
            taken[#taken + 1] = {entry[1], row[4] + 1, entry[2]}
        end
    end
end

local function silent_for(milliseconds)
    return redis.call('XPENDING', stream, group, 'IDLE', milliseconds, '-', '+', count - #taken)
end

-- A write that changes nothing: a script that has written may go on writing at maxmemory.
local probe = redis.pcall('XCLAIM', stream, group, consumer, 0, '0-0')
if probe.err then
    if not string.find(probe.err, 'NOGROUP', 1, true) then
        return probe
    end
    redis.call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
end
local summary = redis.call('XPENDING', stream, group)
if summary[1] > 0 then
    take(silent_for(ARGV[5]))
    for _, holder in ipairs(summary[4]) do
        if #taken < count and is_lost(holder[1]) and has_been_up(tonumber(ARGV[8])) then
            take(redis.call('XPENDING', stream, group, '-', '+', count - #taken, holder[1]))
        end
    end
    if #taken < count then
        local silent = silent_for(ARGV[4])
        if #silent > 0 and has_been_up(tonumber(ARGV[4])) then
            take(silent)
        end
    end
end
if #taken < count then
    local new = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count - #taken, 'STREAMS', stream, '>')
    for _, entry in ipairs(new and new[1][2] or {}) do
        taken[#taken + 1] = {entry[1], 1, entry[2]}
    end
end
return taken
