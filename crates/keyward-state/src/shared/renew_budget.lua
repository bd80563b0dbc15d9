-- Renews holds that stand, and puts back those that are gone though their calls are under way: that nobody could renew them for
-- a while, or that the server has lost them. KEYS: two of each hold, as in hold_budget.lua. ARGV[1]: how long it stands from now
-- on, in microseconds; then what stands there: the hold's name, how much, and of which window (0: a rate's).
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local lasts = tonumber(ARGV[1])
local ends = string.format('%.0f', now + lasts)

local function whole(number) return string.format('%.0f', number) end

-- Whether it counts again: not once it was settled, nor in a window that is over.
local function put_back(key, holds, member)
  local id, amount, window = string.match(member, '^(.*)|(%d+)|(%d+)$')
  if not id or redis.call('ZSCORE', holds, id .. '|done') then return false end
  if tonumber(window) == 0 then
    if redis.call('EXISTS', key) == 0 then redis.call('HSET', key, 'd', '0', 't', whole(now)) end
  else
    local at = tonumber(redis.call('HGET', key, 'w') or '')
    if at == nil then
      redis.call('HSET', key, 'w', window, 's', '0')
    elseif at ~= tonumber(window) then
      return false
    end
  end
  local held = tonumber(redis.call('HGET', key, 'h') or '0')
  redis.call('HSET', key, 'h', whole(held + tonumber(amount)))
  return true
end

for index = 1, #KEYS / 2 do
  local key, holds, member = KEYS[2 * index - 1], KEYS[2 * index], ARGV[index + 1]
  if redis.call('ZSCORE', holds, member) or put_back(key, holds, member) then
    redis.call('ZADD', holds, ends, member)
    for _, name in ipairs({ key, holds }) do
      if redis.call('PTTL', name) < lasts / 1000 then redis.call('PEXPIRE', name, math.ceil(lasts / 1000) + 1000) end
    end
  end
end
return #KEYS / 2
