-- Says what became of a claim, if it is still there. KEYS: as in claim.lua; ARGV: the claim, what it is settled as
-- (empty: it is free again), and how long that is remembered, in milliseconds.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[2])
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
