#!lua
-- Makes all changes of one apply or none. Nothing is written before every condition was looked at, and the server
-- refuses to start a script of this header when it is out of memory, so there is no half.
--
-- KEYS  1 log of changes (stream)  2 incarnation  3... the hash of each change, in order
-- ARGV  1 channel  2 changes kept in the log  3 tip of this apply  4 incarnation, if there is none yet
--       5 the changes as a message  then for each change: id, stored form or "", condition, expected value
--       A change without a stored form removes. Conditions: "any", "absent", "equals".
-- Returns the epoch after the last change; or, where a condition does not hold, minus the number of that change.

local log, incarnation = KEYS[1], KEYS[2]
local HEAD, EACH, FIRST_KEY = 5, 4, 3
local count = #KEYS - FIRST_KEY + 1

-- Stored is "<pepper version>:<mac>:<value>"; conditions are about the value, whichever pepper sealed it.
local function value_of(stored)
  local first = string.find(stored, ':', 1, true)
  local second = first and string.find(stored, ':', first + 1, true)
  return second and string.sub(stored, second + 1)
end

for i = 1, count do
  local at = HEAD + (i - 1) * EACH
  local condition = ARGV[at + 3]
  if condition ~= 'any' then
    local stands = redis.call('HGET', KEYS[FIRST_KEY + i - 1], ARGV[at + 1])
    if condition == 'absent' then
      if stands then return -i end
    elseif not stands or value_of(stands) ~= ARGV[at + 4] then
      return -i
    end
  end
end

local epoch, tip = 0, '-'
local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
if last then
  epoch = tonumber(string.match(last[1], '^%d+'))
  tip = last[2][2]
end
local before = string.format('%.0f %s', epoch, tip)

redis.call('SET', incarnation, ARGV[4], 'NX')
for i = 1, count do
  local at = HEAD + (i - 1) * EACH
  local hash, id, stored = KEYS[FIRST_KEY + i - 1], ARGV[at + 1], ARGV[at + 2]
  if stored == '' then
    redis.call('HDEL', hash, id)
  else
    redis.call('HSET', hash, id, stored)
  end
  epoch = epoch + 1
  redis.call('XADD', log, 'MAXLEN', ARGV[2], string.format('%.0f-0', epoch),
    'tip', ARGV[3], 'hash', hash, 'id', id)
end
-- The changes stand now. A message that may not be sent is no reason to call them failed: replicas ask three times a
-- second what they missed.
redis.pcall('PUBLISH', ARGV[1], before .. ' ' .. ARGV[3] .. ' ' .. ARGV[5])
return epoch
