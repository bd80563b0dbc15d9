-- Renews holds that stand. KEYS: where each stands; ARGV[1]: how long it stands from now on, in microseconds; then each.
local time = redis.call('TIME')
local ends = string.format('%.0f', tonumber(time[1]) * 1000000 + tonumber(time[2]) + tonumber(ARGV[1]))
for index, holds in ipairs(KEYS) do
  redis.call('ZADD', holds, 'XX', ends, ARGV[index + 1])
  if redis.call('PTTL', holds) < tonumber(ARGV[1]) / 1000 then
    redis.call('PEXPIRE', holds, math.ceil(tonumber(ARGV[1]) / 1000) + 1000)
  end
end
return #KEYS
