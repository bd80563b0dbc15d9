-- Puts what calls took in the place of what they held. KEYS: two of each, as in hold_budget.lua. ARGV[1]: the time; empty in
-- service. ARGV[2]: for how long it is remembered what was settled, in microseconds, so that nothing is twice. Then eight
-- values of each: the kind; of a rate the time in which its amount comes back, and that amount; what the hold is called; how
-- much it held, of which window; how much was taken; and how long a name is kept, in milliseconds. The answer: of each
-- what is spent in that window now; -1 where that is not said.

local function call(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then error(answer) end
  return answer
end

local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local remembered = tonumber(ARGV[2])

local function whole(number) return string.format('%.0f', number) end

local function settle(key, holds, kind, per, amount, id, held, window, took, life)
  local done = id .. '|done'
  if call('ZSCORE', holds, done) then return -1 end
  local sum = -1
  -- Where it is not there, it has lapsed, or the server has lost it: what was taken counts all the same.
  local stood = call('ZREM', holds, id .. '|' .. held .. '|' .. window) == 1
  held, took = tonumber(held), tonumber(took)
  if kind == 'window' then
    local kept = call('HMGET', key, 'w', 's', 'h')
    local at, spent, others = tonumber(kept[1] or ''), tonumber(kept[2] or '0'), tonumber(kept[3] or '0')
    local number = tonumber(window)
    if at == nil or at < number then at, spent, others = number, 0, 0 end
    if at == number then
      if stood then others = math.max(0, others - held) end
      sum = spent + took
      call('HSET', key, 'w', at, 's', whole(sum), 'h', whole(others))
    end
  else
    local kept = call('HMGET', key, 'd', 't', 'h')
    local debt, at, others = tonumber(kept[1] or '0'), tonumber(kept[2] or ''), tonumber(kept[3] or '0')
    if at then debt = math.max(0, debt - math.max(0, now - at) * amount / per) end
    if stood then others = math.max(0, others - held) end
    call('HSET', key, 'd', string.format('%.17g', debt + took), 't', whole(now), 'h', whole(others))
    life = math.max(life, math.ceil((debt + took) * per / amount / 1000) + 1)
  end
  call('ZADD', holds, whole(now + remembered), done)
  for _, name in ipairs({ key, holds }) do
    if call('PTTL', name) < life then call('PEXPIRE', name, life) end
  end
  return sum
end

local function settle_all()
  local sums = {}
  for index = 1, #KEYS / 2 do
    local at = 3 + (index - 1) * 8
    sums[index] = settle(
      KEYS[2 * index - 1], KEYS[2 * index], ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 3],
      ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], tonumber(ARGV[at + 7]))
  end
  return sums
end

local settled, answer = pcall(settle_all)
if settled or type(answer) == 'table' then return answer end
error(answer)
