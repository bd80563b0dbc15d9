-- Says what became of a claim, if it is still there. KEYS: as in claim.lua; ARGV: the claim, what it is settled as
-- (empty: it is free again), and how long that is remembered, in milliseconds.
local kept = redis.pcall('GET', KEYS[1])
if type(kept) == 'table' then return kept end
if kept ~= ARGV[1] then
  return 0
end
if ARGV[2] == '' then
  local gone = redis.pcall('DEL', KEYS[1], KEYS[2])
  return type(gone) == 'table' and gone or 1
end
local set = redis.pcall('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if set.err then return set end
redis.pcall('DEL', KEYS[2])
return 1
