-- Make entries that the consumer still holds claimable at once.
-- KEYS  1 stream
-- ARGV  1 group, 2 consumer, 3 idle milliseconds to show, then pairs of entry id and deliveries to show
for index = 4, #ARGV, 2 do
    local id, deliveries = ARGV[index], ARGV[index + 1]
    local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2])
    -- Not held any more: another consumer works on it, and its claim must stand.
    if not pending.err and #pending == 1 then
        redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'IDLE', ARGV[3], 'RETRYCOUNT', deliveries, 'JUSTID')
    end
end
