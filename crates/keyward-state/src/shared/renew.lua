-- Keeps slots of calls under way that are still held, for as long again. KEYS: the limits; ARGV[1]: how long,
-- in microseconds; then the slot in each. What can't be done for one is done for the others all the same; the
-- answer is then the first error.
local time = redis.call('TIME')
local ends = tonumber(time[1]) * 1000000 + tonumber(time[2]) + tonumber(ARGV[1])
local failed = nil
for index, key in ipairs(KEYS) do
  local kept = redis.pcall('ZADD', key, ends, ARGV[1 + index])
  if type(kept) == 'table' and kept.err then
    failed = failed or kept
  else
    redis.pcall('PEXPIRE', key, math.ceil(tonumber(ARGV[1]) / 1000) + 1000)
  end
end
return failed or #KEYS
