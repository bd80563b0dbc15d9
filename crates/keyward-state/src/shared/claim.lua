-- Takes a name for whoever comes first. KEYS: the name, and what says that its holder is alive; ARGV: the claim, how
-- long it is remembered and how long it is held, in milliseconds, and whether one that nobody holds may be taken over
-- by the same request. The answer is nothing for who has it now, else what is there: `u` under way, `o` one whose holder
-- is gone, `s` settled; then 32 bytes of the request, then the rest.
local kept = redis.pcall('GET', KEYS[1])
if type(kept) == 'table' then return kept end
if kept then
  if string.sub(kept, 1, 1) ~= 'u' or redis.call('EXISTS', KEYS[2]) == 1 then
    return kept
  end
  local same = string.sub(kept, 2, 33) == string.sub(ARGV[1], 2, 33)
  if ARGV[4] ~= '1' or not same then
    return 'o' .. string.sub(kept, 2)
  end
end
local set = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if set.err then return set end
set = redis.pcall('SET', KEYS[2], '', 'PX', ARGV[3])
if set.err then return set end
return false
