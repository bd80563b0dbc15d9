-- Renews claims. KEYS: two of each, as in claim.lua; ARGV[1]: how long they are held, in milliseconds; then each claim
-- and how long it is remembered. A name that is not there, or that another claim was given back under, is claimed again.
-- The answer: of each whether it is its holder's.
local answers = {}
for index = 1, #KEYS / 2 do
  local name, held = KEYS[2 * index - 1], KEYS[2 * index]
  local claim, keep = ARGV[2 * index], ARGV[2 * index + 1]
  local kept = redis.pcall('GET', name)
  -- Something else that stands there is nobody's claim.
  local own = type(kept) ~= 'table' or not string.find(kept.err, 'WRONGTYPE', 1, true)
  if own and type(kept) == 'table' then return kept end
  if own and kept and kept ~= claim then
    own = string.sub(kept, 1, 1) == 'r' and string.sub(kept, 2) ~= string.sub(claim, 2)
  end
  if own then
    local set = redis.pcall('SET', name, claim, 'PX', keep)
    if set.err then return set end
    set = redis.pcall('SET', held, '', 'PX', ARGV[1])
    if set.err then return set end
  end
  answers[index] = own and 1 or 0
end
return answers
