-- Forget results that are stored, and let the records of finished jobs run out.
-- KEYS  1 results stream, 2… job hashes
-- ARGV  1 group, 2 seconds a finished record is kept, 3… entry ids, one for each hash
for index = 2, #KEYS do
    local id = ARGV[index + 1]
    redis.call('XACK', KEYS[1], ARGV[1], id)
    redis.call('XDEL', KEYS[1], id)
    local stage = redis.call('HGET', KEYS[index], 'stage')
    if stage == 'decided' or stage == 'reported' or stage == 'dead' then
        redis.call('EXPIRE', KEYS[index], ARGV[2])
    end
end
