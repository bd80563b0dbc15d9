-- Takes a name for whoever comes first. KEYS: the name, and what says that its holder is alive; ARGV: the claim, how
-- long it is remembered and how long it is held, in milliseconds, and whether one that nobody holds may be taken over
-- by the same request. The answer is nothing for who has it now, else what is there: `u` under way, `o` one whose holder
-- is gone, `s` settled, `r` this claim was given back before it came; then 32 bytes of the request, then, for the same
-- request, what it was settled as.
local kept = redis.pcall('GET', KEYS[1])
if type(kept) == 'table' then return kept end
local kind = kept and string.sub(kept, 1, 1)
if kind == 'r' and string.sub(kept, 2) ~= string.sub(ARGV[1], 2) then
  -- Another claim was given back: nobody has it.
  kept = false
end
if kept then
  local same = string.sub(kept, 2, 33) == string.sub(ARGV[1], 2, 33)
  if kind == 's' and same then return kept end
  local alive = kind == 'u' and redis.pcall('EXISTS', KEYS[2])
  if type(alive) == 'table' then return alive end
  if kind ~= 'u' or alive == 1 then return string.sub(kept, 1, 33) end
  if ARGV[4] ~= '1' or not same then return 'o' .. string.sub(kept, 2, 33) end
end
local set = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if set.err then return set end
set = redis.pcall('SET', KEYS[2], '', 'PX', ARGV[3])
if set.err then return set end
return false
