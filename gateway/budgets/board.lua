-- What is to be told of limits, once for all workers: marks, a queue with times, and which subjects limits were used by.
--
-- KEYS, ARGV  tell: mark, due, entries; percentage, life of the mark in ms, id, entry
--             take: due, entries; for how long it is the taker's in ms, how many
--             later: due; in how many ms, id
--             done: due, entries; id
--             seen: index; how many are kept, member...
--             subjects: index; (nothing)
--             All keys of a call have one hash tag.
-- returns     tell: 1 told, 0 told before, 2 no room. take: entries. subjects: members, the latest first. Others: 1.
--
-- Times are of this server's clock, the same for every process.

local call = redis.call
local MOST, LIFE_MS, INDEX_MS = 1000, 172800000, 2764800000 -- two days: nobody sends after that; 32 days: a month's limit
local op = ARGV[1]
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if op == 'tell' then
  local percent = tonumber(ARGV[2])
  if tonumber(call('GET', KEYS[1]) or 0) >= percent then return 0 end
  if call('HLEN', KEYS[3]) >= MOST then return 2 end
  call('SET', KEYS[1], percent, 'PX', ARGV[3])
  call('HSET', KEYS[3], ARGV[4], ARGV[5])
  call('ZADD', KEYS[2], now, ARGV[4])
  call('PEXPIRE', KEYS[2], LIFE_MS)
  call('PEXPIRE', KEYS[3], LIFE_MS)
  return 1
elseif op == 'take' then
  local entries = {}
  for _, id in ipairs(call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[3])) do
    local entry = call('HGET', KEYS[2], id)
    if entry then
      call('ZADD', KEYS[1], now + ARGV[2], id)
      entries[#entries + 1] = entry
    else
      call('ZREM', KEYS[1], id)
    end
  end
  return entries
elseif op == 'later' then
  call('ZADD', KEYS[1], 'XX', now + ARGV[2], ARGV[3])
elseif op == 'done' then
  call('ZREM', KEYS[1], ARGV[2])
  call('HDEL', KEYS[2], ARGV[2])
elseif op == 'seen' then
  for i = 3, #ARGV do call('ZADD', KEYS[1], now, ARGV[i]) end
  call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[2])
  call('PEXPIRE', KEYS[1], INDEX_MS)
elseif op == 'subjects' then
  return call('ZREVRANGE', KEYS[1], 0, -1)
else
  error('no such operation')
end
return 1
