-- Decides whether a call may pass under all its limits, and counts it if it may: all of them or none.
--
-- KEYS: what the limits are called. ARGV[1]: the time in microseconds since 1970; empty in service, when the
-- server's own clock counts, so that nodes whose clocks differ agree. Then seven values of each limit, the
-- first of which says its kind.
-- The answer: the number of the limit that refuses, or 0; then four numbers of each limit, or of the one that
-- refuses. All times in microseconds.
--
-- A refused call counts nowhere. What a node tells to have passed before is kept all the same, where it is what
-- refuses: it is a fact, and after a loss perhaps nobody asks again who knows it.

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

-- How much longer than needed values are kept, in milliseconds: a time that is given does not pass by itself.
local spare = tonumber(ARGV[1]) and 600000 or 1

-- Arrival times count from 2026 on: numbers have 53 bits, and so they keep fractions of a microsecond.
local since = now - 1767225600000000

local DAY = 86400

-- Periods of one length: that, and how long before 1970 the first window began. In seconds.
local EVEN = { minute = { 60, 0 }, hour = { 3600, 0 }, day = { DAY, 0 }, week = { 7 * DAY, 3 * DAY } }

-- The number of the window of this period that `now` is in.
local function window(period)
  local seconds = math.floor(now / 1000000)
  local even = EVEN[period]
  if even then return math.floor((seconds + even[2]) / even[1]) end
  -- Months, by eras of 400 years that begin in March.
  local shifted = math.floor(seconds / DAY) + 719468
  local era = math.floor(shifted / 146097)
  local day = shifted - era * 146097
  local year = math.floor((day - math.floor(day / 1460) + math.floor(day / 36524) - math.floor(day / 146096)) / 365)
  local of_year = day - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local march = math.floor((5 * of_year + 2) / 153)
  local month = march < 10 and march + 3 or march - 9
  local civil = year + era * 400 + (month <= 2 and 1 or 0)
  return (civil - 1970) * 12 + month - 1
end

-- When the window of this number ends, in seconds.
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

local told, writes = { 0 }, {}

local function tell(one, two, three, four)
  local at = #told
  told[at + 1], told[at + 2], told[at + 3], told[at + 4] = one, two, three, four
end

local kinds = {}

-- The generic cell rate algorithm: interval, burst time, calls wanted, and how far ahead the node knows the
-- subject to be.
function kinds.rate(key, interval, burst, want, ahead)
  local kept = tonumber(call('GET', key) or '')
  local arrival = math.max(kept or since, since, since + tonumber(ahead))
  -- Further than a burst it only is when this clock was set back.
  arrival = math.min(arrival, since + burst)
  local room = burst - (arrival - since)
  local granted = math.min(tonumber(want), math.floor(room / interval + 0.000001))
  if granted < 1 then
    if arrival > math.max(kept or since, since) then
      call('SET', key, string.format('%.17g', arrival), 'PX', math.ceil((arrival - since) / 1000) + spare)
    end
    return false, { math.ceil(interval - room), math.ceil(arrival - since), 0, 0 }
  end
  local left = arrival + granted * interval
  writes[#writes + 1] = { 'SET', key, string.format('%.17g', left), 'PX', math.ceil((left - since) / 1000) + spare }
  tell(granted, math.floor((burst - (left - since)) / interval + 0.000001), math.ceil(left - since), 0)
  return true
end

-- A window of the calendar: requests, period, what passed at the node unheard of and in which window, how many
-- the node knows to have passed at least, those among them, and in which window.
function kinds.quota(key, requests, period, owed, owed_window, known, known_window)
  local number = window(period)
  local kept, used = string.match(call('GET', key) or '', '^(%d+):(%d+)$')
  kept, used = tonumber(kept), tonumber(used)
  local stored = used
  -- A later window than now is of a clock that was set back: until its end it is the one that counts.
  if kept == nil or kept < number then used, stored = 0, 0 else number = kept end
  if tonumber(owed_window) == number then used = used + tonumber(owed) end
  if tonumber(known_window) == number then used = math.max(used, tonumber(known)) end
  local left = window_ends(period, number) * 1000000 - now
  if used >= requests then
    if used > stored then
      call('SET', key, number .. ':' .. used, 'PX', math.ceil(left / 1000) + spare)
    end
    return false, { left, left, used, number }
  end
  used = used + 1
  writes[#writes + 1] = { 'SET', key, number .. ':' .. used, 'PX', math.ceil(left / 1000) + spare }
  tell(1, requests - used, left, number)
  return true
end

-- Calls under way: how many may be, how long a slot is kept that nobody renews, and the slot's name.
function kinds.calls(key, calls, kept_for, slot)
  call('ZREMRANGEBYSCORE', key, '-inf', now)
  local under_way = call('ZCARD', key)
  if under_way >= calls then
    return false, { 0, 0, under_way, 0 }
  end
  writes[#writes + 1] = { 'ZADD', key, now + tonumber(kept_for), slot }
  writes[#writes + 1] = { 'PEXPIRE', key, math.ceil(tonumber(kept_for) / 1000) + 1000 }
  tell(1, calls - under_way - 1, 0, 0)
  return true
end

local function decide_all()
  for index, key in ipairs(KEYS) do
    local at = 2 + (index - 1) * 7
    local decide = kinds[ARGV[at]]
    local passes, refusal = decide(
      key, tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]) or ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6])
    if not passes then
      return { index, refusal[1], refusal[2], refusal[3], refusal[4] }
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
