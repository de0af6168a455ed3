-- Give a heartbeat for the entries that the consumer still holds.
-- KEYS  1 stream
-- ARGV  1 group, 2 consumer, 3… entry ids
-- Returns the ids still held.
local kept = {}
for index = 3, #ARGV do
    local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[index], ARGV[index], 1, ARGV[2])
    -- A server that came back empty has no group: then nothing is held.
    if not pending.err and #pending == 1 then
        redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[index], 'JUSTID')
        kept[#kept + 1] = ARGV[index]
    end
end
return kept
