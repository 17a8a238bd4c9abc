-- Reserve, settle, extend and lease over several limits in one atomic step.
-- The twin of oracle.Oracle and window.Account in Python, which say what all of it means and are compared with it.
--
-- ARGV[1]  operation; ARGV[2]  now in unix ms, 0 = this server's clock, the same for all workers
-- ARGV[3]  how long holds live, ms; ARGV[4]  how long a record lives, ms (of `settle`: the mark that it was settled)
-- KEYS     reserve: the limits. settle, extend: the record, then the limits that hold. lease: limit and record in turn.
--          All have the tenant as hash tag, so they are in one slot.
-- ARGV[5...] for each limit: shape (S B D M R), span in ms, amount, 1 if soft, 1 if charged at once; and then
--          reserve: ask, least. settle, extend: held, until, used.
--          lease: held, until, charged, used, keep, want, share.
-- returns  a string of whole numbers: 1 if done (0: does not fit, or was settled before), and for each limit
--          granted, used, held, reset in ms, retry after in ms (-1: never), slot in which the grant ends
--
-- A limit is a hash of at most 12 + 61 + 123 fields: `c` its own time, `o` that time's offset to the clock, `u` used,
-- `h` held, `x` the latest period or what a bucket has leaked of a unit, `u<slot>` and `h<slot>` the parts of both.
-- It ends when time alone would have emptied it. Amounts are below 10^13 (model.MOST) and sums below 10^14: exact in a
-- double, and in the fourteen digits that Lua writes of a number.

local HOLD_SLOT, SLOTS, BACK, BUSY, NEVER, DAY = 5000, 60, 2, 1000, -1, 86400000
local floor, ceil, min, max = math.floor, math.ceil, math.min, math.max

local op, now, ttl, keep_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + floor(tonumber(time[2]) / 1000)
end

-- floor(a / b) for whole numbers: the quotient alone may round up to the next whole number.
local function div(a, b)
  return (a - a % b) / b
end

local function month_of(day)
  local shifted = day + 719468
  local era, of_era = div(shifted, 146097), shifted % 146097
  local year = div(of_era - div(of_era, 1460) + div(of_era, 36524) - div(of_era, 146096), 365)
  local of_year = of_era - (365 * year + div(year, 4) - div(year, 100))
  return (era * 400 + year) * 12 + div(5 * of_year + 2, 153) + 2
end

local function first_day(month)
  local years = div(month - 2, 12)
  local era, year = div(years, 400), years % 400
  local of_year = div(153 * ((month - 2) % 12) + 2, 5)
  return era * 146097 + 365 * year + div(year, 4) - div(year, 100) + of_year - 719468
end

local function period_of(shape)
  local day = div(now, DAY)
  return shape == 'D' and day or month_of(day)
end

local function period_ends(shape)
  local day = div(now, DAY)
  return (shape == 'D' and day + 1 or first_day(month_of(day) + 1)) * DAY
end

local function number(text, key)
  if not text then return 0 end
  return tonumber(text) or error('not a budget: ' .. key)
end

-- Sums the slots first..last of one letter, and marks them to be deleted when the limit is saved.
local function forget(limit, letter, first, last)
  if first > last then return 0 end
  local names, sum = {}, 0
  for slot = first, last do names[#names + 1] = letter .. slot end
  for i, text in ipairs(redis.call('HMGET', limit.key, unpack(names))) do
    if text then
      sum = sum + number(text, limit.key)
      limit.drop[#limit.drop + 1] = names[i]
    end
  end
  return sum
end

local function leak(limit, elapsed)
  local part = elapsed % limit.span
  local total = part * limit.amount + limit.x
  limit.x = total % limit.span
  limit.used = limit.used - div(elapsed, limit.span) * limit.amount - div(total, limit.span)
  if limit.used <= 0 then limit.used, limit.x = 0, 0 end
end

-- Reads a limit and forgets what time has passed. `old` is the slot of a hold that will be freed, 0 if none.
local function load(key, at, old)
  local shape, span, amount = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local limit = {
    key = key, shape = shape, span = span, amount = amount, soft = ARGV[at + 3] == '1', once = ARGV[at + 4] == '1',
    drop = {}, set = {},
  }
  local slot_ms = shape == 'S' and ceil(span / SLOTS) or 1
  limit.slot_ms, limit.slots = slot_ms, shape == 'S' and ceil(span / slot_ms) or 0
  local period = (shape == 'D' or shape == 'M') and period_of(shape)
  -- The slots are guessed for a limit whose time is the clock's, which is nearly always so.
  local guess = period or (shape == 'S' and div(now, slot_ms)) or 0
  local ending = div(now + ttl, HOLD_SLOT) + 1
  local got = redis.call('HMGET', key, 'c', 'o', 'u', 'h', 'x', 'u' .. guess, 'h' .. ending, 'h' .. old)
  limit.new = not got[1]
  local before = limit.new and now or number(got[1], key)
  local offset = number(got[2], key)
  limit.at = max(now + offset, before)
  limit.offset = limit.at - now
  limit.shifted = limit.offset ~= offset
  limit.used, limit.held, limit.x = number(got[3], key), number(got[4], key), number(got[5], key)
  limit.slot, limit.ending, limit.old = guess, ending, old
  local present, next_hold = number(got[6], key), number(got[7], key)

  local was, is = div(before, HOLD_SLOT), div(limit.at, HOLD_SLOT)
  limit.stale = limit.new or is > was
  -- Holds end at most 122 slots after they began; what lies further ahead cannot be there.
  limit.held = limit.held - forget(limit, 'h', was + 1, min(is, was + 122))
  limit.now_slot = is

  if period then
    local newest = limit.new and period or limit.x
    limit.x = max(newest, period)
    limit.slot = max(period, limit.x - BACK)
    forget(limit, 'u', newest - BACK, min(newest, limit.x - BACK - 1))
    if limit.slot ~= guess then present = number(redis.call('HGET', key, 'u' .. limit.slot), key) end
    limit.used = present
  elseif shape == 'S' then
    limit.slot = div(limit.at, slot_ms)
    local first = div(before, slot_ms) - limit.slots
    limit.used = limit.used - forget(limit, 'u', first, min(first + limit.slots, limit.slot - limit.slots - 1))
    if limit.slot ~= guess then present = number(redis.call('HGET', key, 'u' .. limit.slot), key) end
  elseif shape == 'B' then
    leak(limit, limit.at - before)
  end
  limit.present = present

  if limit.offset ~= 0 then
    limit.ending = div(limit.at + ttl, HOLD_SLOT) + 1
    next_hold = number(redis.call('HGET', key, 'h' .. limit.ending), key)
  end
  limit.next_hold = next_hold
  limit.old_hold = old > is and number(got[8], key) or 0
  return limit
end

local function room(limit)
  return limit.amount - limit.used - limit.held
end

local function charge(limit, amount)
  if limit.shape == 'R' or amount == 0 then return end
  limit.used = limit.used + amount
  if limit.shape ~= 'B' then
    limit.present = limit.present + amount
    limit.set['u' .. limit.slot] = limit.present
  end
end

local function free(limit, amount)
  local given = min(amount, limit.old_hold)
  if limit.old_hold > 0 then
    limit.held = limit.held - given
    limit.old_hold = limit.old_hold - given
    limit.set['h' .. limit.old] = limit.old_hold
    if limit.old == limit.ending then limit.next_hold = limit.old_hold end
  end
end

local function hold(limit, amount)
  limit.held = limit.held + amount
  limit.next_hold = limit.next_hold + amount
  limit.set['h' .. limit.ending] = limit.next_hold
  return limit.ending
end

local function life_ms(limit)
  local life = ttl + 2 * HOLD_SLOT
  if limit.shape == 'S' then
    life = max(life, limit.span + 2 * limit.slot_ms + HOLD_SLOT)
  elseif limit.shape == 'B' then
    life = max(life, limit.span * (ceil(limit.used / limit.amount) + 1) + HOLD_SLOT)
  elseif limit.shape ~= 'R' then
    life = (limit.shape == 'D' and 1 or 31) * (BACK + 1) * DAY
  end
  -- Somebody else's hold may be longer than what this call holds.
  return max(life, 600000 + 2 * HOLD_SLOT)
end

local function save(limit)
  local words = { 'c', limit.at, 'u', limit.used, 'h', limit.held, 'x', limit.x }
  if limit.shifted then words[9], words[10] = 'o', limit.offset end
  for name, value in pairs(limit.set) do
    words[#words + 1] = name
    words[#words + 1] = value
  end
  if #limit.drop > 0 then redis.call('HDEL', limit.key, unpack(limit.drop)) end
  redis.call('HSET', limit.key, unpack(words))
  -- Once in a hold slot is enough: the life has two to spare.
  if limit.stale then redis.call('PEXPIRE', limit.key, life_ms(limit)) end
end

local function reset_ms(limit)
  if limit.used == 0 then return 0 end
  if limit.shape == 'S' then return (limit.slot + limit.slots + 1) * limit.slot_ms - limit.at end
  if limit.shape == 'B' then return -div(-limit.used * limit.span, limit.amount) end
  return period_ends(limit.shape) - now
end

local function retry_ms(limit, least)
  if least > limit.amount then return NEVER end
  local need = least - room(limit)
  if need <= limit.held then return BUSY end
  need = need - limit.held
  if limit.shape == 'B' then return -div(limit.x - need * limit.span, limit.amount) end
  if limit.shape ~= 'S' then return period_ends(limit.shape) - now end
  local names = {}
  for slot = limit.slot - limit.slots, limit.slot do names[#names + 1] = 'u' .. slot end
  for i, text in ipairs(redis.call('HMGET', limit.key, unpack(names))) do
    need = need - number(text, limit.key)
    if need <= 0 then return (limit.slot + i) * limit.slot_ms - limit.at end
  end
  return BUSY
end

local answer = {}
local function tell(limit, granted, ending, lacking)
  local at = #answer
  answer[at + 1], answer[at + 2], answer[at + 3] = granted, limit.used, limit.held
  answer[at + 4], answer[at + 5], answer[at + 6] = reset_ms(limit), lacking and retry_ms(limit, lacking) or 0, ending
end

local function reserve()
  local limits, fits = {}, true
  for i, key in ipairs(KEYS) do
    local at = 5 + 7 * (i - 1)
    local limit = load(key, at, 0)
    local ask, least = tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
    limit.offer = limit.soft and ask or min(ask, max(room(limit), 0))
    if limit.offer < least then
      limit.lacking, fits = least, false
    end
    limits[i] = limit
  end
  answer[1] = fits and 1 or 0
  for _, limit in ipairs(limits) do
    local granted, ending = 0, 0
    if fits then
      granted = limit.offer
      if limit.once then charge(limit, granted) else ending = hold(limit, granted) end
      save(limit)
    elseif limit.shifted then
      save(limit) -- else the limit's time would stand still until the clock has caught up
    end
    tell(limit, granted, ending, limit.lacking)
  end
end

-- What a record says: charged, held and until of each limit; nil where there is none.
local function recall(key)
  local text = redis.call('GET', key)
  if not text or text == 'settled' then return text end
  local numbers = {}
  for word in string.gmatch(text, '%d+') do numbers[#numbers + 1] = tonumber(word) end
  return numbers
end

local function settle(extending)
  local known = recall(KEYS[1])
  answer[1] = 1
  if known == 'settled' then
    answer[1] = 0
    return
  end
  local limits, after = {}, {}
  for i = 2, #KEYS do
    local at, was = 5 + 8 * (i - 2), 3 * (i - 2)
    local charged, held, until_slot = 0, tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
    if known then
      charged, held, until_slot = number(known[was + 1], ''), number(known[was + 2], ''), number(known[was + 3], '')
    end
    local limit = load(KEYS[i], at, until_slot)
    limit.charged, limit.mine, limit.total = charged, held, tonumber(ARGV[at + 7])
    limits[#limits + 1] = limit
  end
  for _, limit in ipairs(limits) do
    local total, left, ending = max(limit.total, limit.charged), 0, 0
    free(limit, limit.mine)
    charge(limit, total - limit.charged)
    if extending then
      left = max(limit.charged + limit.mine - total, 0)
      ending = hold(limit, left)
    end
    save(limit)
    after[#after + 1], after[#after + 2], after[#after + 3] = total, left, ending
    tell(limit, left, ending)
  end
  redis.call('SET', KEYS[1], extending and table.concat(after, ' ') or 'settled', 'PX', keep_ms)
end

local function lease()
  answer[1] = 1
  for i = 1, #KEYS, 2 do
    local at = 5 + 6 * (i - 1)
    local held, until_slot, charged = tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6]), tonumber(ARGV[at + 7])
    local known = recall(KEYS[i + 1])
    if known then charged, held, until_slot = known[1], known[2], known[3] end
    local limit = load(KEYS[i], at, until_slot)
    local used, keep = max(tonumber(ARGV[at + 8]), charged), tonumber(ARGV[at + 9])
    local want, share = tonumber(ARGV[at + 10]), tonumber(ARGV[at + 11])
    free(limit, held)
    charge(limit, used - charged)
    if not limit.soft then want = min(want, div(max(room(limit) - keep, 0), share)) end
    local granted = keep + want
    local ending = hold(limit, granted)
    save(limit)
    redis.call('SET', KEYS[i + 1], table.concat({ used, granted, ending }, ' '), 'PX', keep_ms)
    tell(limit, granted, ending)
  end
end

if op == 'reserve' then reserve()
elseif op == 'settle' then settle(false)
elseif op == 'extend' then settle(true)
elseif op == 'lease' then lease()
else return redis.error_reply('ERR no such operation') end
return table.concat(answer, ' ')
