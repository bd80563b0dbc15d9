-- Keeps slots of calls under way that are still held, for as long again. KEYS: the limits; ARGV[1]: how long,
-- in microseconds; then the slot in each.
local time = redis.call('TIME')
local ends = tonumber(time[1]) * 1000000 + tonumber(time[2]) + tonumber(ARGV[1])
for index, key in ipairs(KEYS) do
  redis.call('ZADD', key, ends, ARGV[1 + index])
  redis.call('PEXPIRE', key, math.ceil(tonumber(ARGV[1]) / 1000) + 1000)
end
return #KEYS
