-- Hand out entries: first those whose consumer fell silent, then new ones.
-- KEYS  1 stream
-- ARGV  1 group, 2 consumer, 3 count, 4 idle milliseconds that count as silence
-- Returns a list of {entry id, deliveries, {field, value, …}}.
local stream, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local count, silence = tonumber(ARGV[3]), ARGV[4]
local taken = {}

local function take(entry)
    local pending = redis.call('XPENDING', stream, group, entry[1], entry[1], 1)
    taken[#taken + 1] = {entry[1], pending[1][4], entry[2]}
end

local function claim(cursor)
    return redis.pcall('XAUTOCLAIM', stream, group, consumer, silence, cursor, 'COUNT', count - #taken)
end

local claimed = claim('0-0')
if claimed.err then
    if not string.find(claimed.err, 'NOGROUP', 1, true) then
        return claimed
    end
    redis.call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
    claimed = claim('0-0')
end
while true do
    for _, entry in ipairs(claimed[2]) do
        -- Redis 6.2 gives false for an entry that was deleted while pending.
        if entry then
            take(entry)
        end
    end
    if #taken >= count or claimed[1] == '0-0' then
        break
    end
    claimed = claim(claimed[1])
end
if #taken < count then
    local new = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count - #taken, 'STREAMS', stream, '>')
    for _, entry in ipairs(new and new[1][2] or {}) do
        take(entry)
    end
end
return taken
