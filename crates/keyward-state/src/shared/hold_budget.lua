-- Decides whether there is room for what a call may take under all its budgets, and holds it if there is: all of them or none.
--
-- KEYS: two of each budget: what it is called, and where its holds stand. ARGV[1]: the time in microseconds since 1970; empty
-- in service, when the server's own clock counts. ARGV[2]: what the hold is called. ARGV[3]: how long it stands that nobody
-- renews, in microseconds. Then seven values of each budget.
-- The answer: 0, then four numbers of each budget: what is left, when all is there again, the window and what is spent in it;
-- or the number of the budget that refuses, then what is left, when the call could pass, when all is there again, the window,
-- what is spent. All times in microseconds.

-- As redis.call, but so that the error's own code is what the caller is answered, in Redis 5 and 6 too.
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
local spare = tonumber(ARGV[1]) and 600000 or 1
local id, lasts = ARGV[2], tonumber(ARGV[3])
local DAY = 86400
local EVEN = { minute = { 60, 0 }, hour = { 3600, 0 }, day = { DAY, 0 }, week = { 7 * DAY, 3 * DAY } }

-- The number of the window of this period that `now` is in, and the calendar's arithmetic: as in take.lua.
local function window(period)
  local seconds = math.floor(now / 1000000)
  local even = EVEN[period]
  if even then return math.floor((seconds + even[2]) / even[1]) end
  local shifted = math.floor(seconds / DAY) + 719468
  local era = math.floor(shifted / 146097)
  local day = shifted - era * 146097
  local year = math.floor((day - math.floor(day / 1460) + math.floor(day / 36524) - math.floor(day / 146096)) / 365)
  local of_year = day - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local march = math.floor((5 * of_year + 2) / 153)
  local month = march < 10 and march + 3 or march - 9
  return (year + era * 400 + (month <= 2 and 1 or 0) - 1970) * 12 + month - 1
end

local function window_ends(period, number)
  local even = EVEN[period]
  if even then return (number + 1) * even[1] - even[2] end
  local next_year, next_month = 1970 + math.floor((number + 1) / 12), (number + 1) % 12 + 1
  local y = next_year - (next_month <= 2 and 1 or 0)
  local e = math.floor(y / 400)
  local of_era = y - e * 400
  local m = next_month > 2 and next_month - 3 or next_month + 9
  local days = e * 146097 + of_era * 365 + math.floor(of_era / 4) - math.floor(of_era / 100)
    + math.floor((153 * m + 2) / 5) - 719468
  return days * DAY
end

local function whole(number) return string.format('%.0f', number) end

-- What is held by calls whose node has ended is there again, whatever comes of this call. `number` is the window that counts; 0
-- of a rate.
local function lapse(key, holds, held, number)
  local lapsed = call('ZRANGEBYSCORE', holds, '-inf', now, 'LIMIT', 0, 1000)
  for _, member in ipairs(lapsed) do
    local amount, of = string.match(member, '|(%d+)|(%d+)$')
    if amount and tonumber(of) == number then held = math.max(0, held - tonumber(amount)) end
    call('ZREM', holds, member)
  end
  if #lapsed > 0 and call('EXISTS', key) == 1 then call('HSET', key, 'h', whole(held)) end
  return held
end

-- How long a name is kept: never shorter than it was, since it may hold what was settled, or another call's.
local function at_least(life, name) return math.max(life, call('PTTL', name)) end

local told, writes = { 0 }, {}

local function tell(...)
  for _, value in ipairs({ ... }) do told[#told + 1] = value end
end

local kinds = {}

-- A window of the calendar: how much it has, its period, nothing, how much is wanted, how much the node knows to be spent at
-- least, and in which window.
function kinds.window(key, holds, has, period, _, want, known, known_window)
  local number = window(period)
  local kept = call('HMGET', key, 'w', 's', 'h')
  local at, spent, held = tonumber(kept[1] or ''), tonumber(kept[2] or '0'), tonumber(kept[3] or '0')
  -- A later window than now is of a clock that was set back: until its end it is the one that counts.
  if at == nil or at < number then spent, held = 0, 0 else number = at end
  held = lapse(key, holds, held, number)
  if known_window == number then spent = math.max(spent, known) end
  local left, ends = has - spent - held, window_ends(period, number) * 1000000 - now
  local life = math.ceil((ends + lasts) / 1000) + spare
  if want > left then
    call('HSET', key, 'w', number, 's', whole(spent), 'h', whole(held))
    call('PEXPIRE', key, at_least(life, key))
    local retry = want <= has - spent and math.min(1000000, ends) or ends
    return false, { math.max(0, left), retry, ends, number, spent }
  end
  writes[#writes + 1] = { 'HSET', key, 'w', number, 's', whole(spent), 'h', whole(held + want) }
  writes[#writes + 1] = { 'ZADD', holds, whole(now + lasts), id .. '|' .. whole(want) .. '|' .. number }
  writes[#writes + 1] = { 'PEXPIRE', key, at_least(life, key) }
  writes[#writes + 1] = { 'PEXPIRE', holds, at_least(life, holds) }
  tell(left - want, ends, number, spent)
  return true
end

-- Evenly: how much at once, the time in which the whole amount comes back, that amount, how much is wanted.
function kinds.rate(key, holds, burst, per, amount, want)
  local kept = call('HMGET', key, 'd', 't', 'h')
  local debt, at, held = tonumber(kept[1] or '0'), tonumber(kept[2] or ''), tonumber(kept[3] or '0')
  per, amount = tonumber(per), tonumber(amount)
  if at then debt = math.max(0, debt - math.max(0, now - at) * amount / per) end
  held = lapse(key, holds, held, 0)
  local left = math.floor(burst - debt - held + 0.000001)
  if want > left then
    local missing = want - left
    local retry = math.ceil(math.min(missing, debt) * per / amount)
    if missing > debt then retry = retry + 1000000 end
    return false, { math.max(0, left), retry, math.ceil(debt * per / amount), 0, 0 }
  end
  local life = math.ceil((debt * per / amount + lasts) / 1000) + spare
  writes[#writes + 1] = { 'HSET', key, 'd', string.format('%.17g', debt), 't', whole(now), 'h', whole(held + want) }
  writes[#writes + 1] = { 'ZADD', holds, whole(now + lasts), id .. '|' .. whole(want) .. '|0' }
  writes[#writes + 1] = { 'PEXPIRE', key, at_least(life, key) }
  writes[#writes + 1] = { 'PEXPIRE', holds, at_least(life, holds) }
  tell(left - want, math.ceil(debt * per / amount), 0, 0)
  return true
end

local function decide_all()
  for index = 1, #KEYS / 2 do
    local at = 4 + (index - 1) * 7
    local decide = kinds[ARGV[at]]
    local passes, refusal = decide(
      KEYS[2 * index - 1], KEYS[2 * index], tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3],
      tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6]))
    if not passes then
      return { index, refusal[1], refusal[2], refusal[3], refusal[4], refusal[5] }
    end
  end
  for _, write in ipairs(writes) do
    call(unpack(write))
  end
  return told
end

local decided, answer = pcall(decide_all)
if decided or type(answer) == 'table' then return answer end
error(answer)
