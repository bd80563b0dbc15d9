-- Says what became of a claim, if no other has its name. KEYS: as in claim.lua; ARGV: the claim, what it is settled as
-- (empty: it is free again), and how long that is remembered, in milliseconds.
local kept = redis.pcall('GET', KEYS[1])
if type(kept) == 'table' then return kept end
if kept and string.sub(kept, 1, 1) == 'r' then kept = false end
if kept and kept ~= ARGV[1] then return 0 end
if ARGV[2] ~= '' then
  local set = redis.pcall('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  if set.err then return set end
  redis.pcall('DEL', KEYS[2])
  return 1
end
if kept then
  local gone = redis.pcall('DEL', KEYS[1], KEYS[2])
  return type(gone) == 'table' and gone or 1
end
-- It may be on its way still: when it comes, it is to find that it was given back.
local set = redis.pcall('SET', KEYS[1], 'r' .. string.sub(ARGV[1], 2), 'PX', 60000)
return set.err and set or 1
