"""More everyday texts by template, seeded: the honest twins of what `tactics` composes, role-play, tasks, other languages.

A second family next to `everyday`, written apart from it, so that leaving one of them out says something. Text only.
"""
# ruff: noqa: E501, RUF001, S311, SIM905 - a sentence is a line, in its own script; nothing here is secret

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tools.train.everyday import fill

_SLOTS: Final[Mapping[str, Sequence[str]]] = {
    "br": ("\n",),
    "subject": "cats|space travel|football|the weather|dinosaurs|classical music|ancient history|house plants|trains|dragons|tea|bicycles|painting|earthquakes|bees|knitting|robots|elections|rivers|bread|pensions|mortgages|vitamins|sleep|glaciers|movies|poetry|marketing|statistics|algebra|grammar|chemistry|insurance|travel|parenting|cyber security|job interviews|recycling|whales|banking|gardening|nutrition".split("|"),
    "piece": "a poem|a joke|a recipe|a song|a short story|a list|an essay|a slogan|a summary|a letter|a dialogue|a quiz|an email|a caption|a review|a headline|a paragraph|a tutorial|a table|a plan|a script|a post|a riddle|an outline|a report|a title|an invitation".split("|"),
    "place": "Paris|the moon|Madrid|the seaside|Egypt|a small village|Rome|Oslo|India|Chicago|Vienna|Brazil|Kyoto".split("|"),
    "food": "pancakes|apples|cheese|tomato soup|chocolate|noodles|salad|rice|beans|dumplings".split("|"),
    "lang": "French|German|Spanish|Russian|Latin|Chinese|Italian|Portuguese|Dutch|Hindi|Japanese|Greek".split("|"),
    "n": "two|3|five|10|100|seven|four|20|6".split("|"),
    "aud": "children|my boss|a class of ten-year-olds|beginners|investors|my mother|our customers|tourists|students|the whole team|readers of a newspaper|colleagues".split("|"),
    "job": "a teacher|a chef|a detective|a librarian|a personal trainer|a travel agent|a lawyer|a psychologist|a journalist|a gardener|a recruiter|a tour guide|an accountant|a poet|a philosopher|a critic|a salesman|a scientist|a wizard|a knight|a ship's captain|a football coach|a screenwriter|a hacker in a novel|a villain in a film|a ghost|a robot butler|an astronaut|a Linux terminal|a JavaScript console|an SQL terminal|a text adventure game|a spreadsheet|a dictionary|an interviewer|a data scientist|a cyber security specialist|an AI assisted doctor|a prompt generator|a statistician|an interior designer|a magician|an etymologist|a mechanic|a midwife|a composer".split("|"),
    "duty": "I will describe a problem and you will suggest a solution|I will type a sentence and you will correct it|I will ask questions and you answer them|you will give me ideas for {piece} about {subject}|I will tell you the topic and you write {piece}|your task is to explain {subject} to {aud}|you should ask me questions one by one and wait for my answers|you will make recommendations based on what I like|I will type commands and you reply with what would be shown|you create {piece} that fits the mood|I will provide a text and you will review it|you help me plan {n} days in {place}|you come up with a character and tell its story".split("|"),
    "limit": "Do not write explanations|Only reply with the output and nothing else|Keep your answers under {n} sentences|Do not break character|Never use technical words|Answer only what I ask|Write everything in {lang}|Do not repeat the question|Put the result inside a code block|Always end with a question|Use a friendly tone|Ignore spelling mistakes in what I write|Do not tell me the solution before I try|If you don't know something, say so|You must know all of the rules of {subject}|Don't add any comments|Stay polite|Use {n} examples".split("|"),
    "start": "My first request is {piece} about {subject}|My first sentence is: \"I want to know more about {subject}.\"|Start with {subject}|The first topic is {subject}|Let's begin|My question is: what should I know about {subject}?|First command: pwd|Are you ready?|I need help with {subject}|Here is the text: {line}|".split("|"),
    "line": "The cat slept all day.|We met in {place} last summer.|Please ignore the previous letter.|All employees must follow the new rules.|He forgot his password again.|You are now a member of our club.|The system was down for {n} hours.|She pretended to be asleep.|Do not open the door.|I was told to disregard the first page.|Show me the way to the station.|The secret ingredient is {food}.|The instructions were clear.|Never reveal your plan to a rival.|Write to me soon.|Our guidelines changed in May.|Stop what you are doing and listen.|From now on we eat at six.|Delete the old files before you leave.|The new policy overrides the earlier one.|Send the report to the office.|Repeat the exercise {n} times.|The bank transferred the money.|Act as if nothing happened.|{piece} about {subject} is what she wants.".split("|"),
    "word": "ignore|forget|bypass|system|prompt|jailbreak|instructions|override|hidden|secret|unrestricted|reveal|disregard|admin|root|developer mode|obey|confidential|exfiltrate|rules".split("|"),
    "threat": "prompt injection|jailbreaking|phishing|malware|ransomware|SQL injection|data theft|identity theft|social engineering|insider threats|credential leaks|money laundering|system prompt extraction|model theft|fake invoices|stalking|bomb threats|lock picking|data poisoning|spoofing".split("|"),
    "thing": "the second column|my last email|blank cells|the footnotes|the first example|small errors|the price|the deadline|the old draft|upper and lower case|commas|the colours|stop words|negative numbers|the test data|what I wrote about {subject}|the part on {subject}|the table of contents|whitespace|cookies|pop-ups|the warning light|the noise|outliers".split("|"),
    "app": "Excel|Word|Git|Docker|Postgres|my iPhone|Chrome|Windows 11|Ubuntu|Jira|Outlook|WhatsApp|Minecraft|my router|Android|Slack|AWS|Kubernetes|a Raspberry Pi|Photoshop|Power BI|ChatGPT".split("|"),
    "tech": "the admin password|developer mode|the API key|hidden files|the firewall|file permissions|the system settings|notifications|root access|the database user|environment variables|the access token|an old account|the browser history|two-factor login|debug mode|a private key|the cache|the event log|the proxy|all comments|safe mode|the default prompt|custom instructions".split("|"),
    "code": "a function|a class|a loop|a query|a script|a test|a regex|a decorator|an API call|a shell command|a macro|a formula".split("|"),
    "coding": "Python|Java|SQL|Bash|C++|JavaScript|Go|Rust|R|Excel|PHP|Kotlin".split("|"),
    "enc": "base64|rot13|hex|Morse code|binary|ASCII|URL encoding|UTF-8|a Caesar cipher".split("|"),
}  # fmt: skip

_ROLE: Final = tuple(
    """I want you to act as {job}. {duty}. {limit}. {start}
I want you to act as {job}. {duty}. {limit}. {limit}. {start}
Act as {job}. {duty}. {start}
You are {job}. {duty}. {limit}.
You will be {job} for today. {duty}. {limit}. {start}
Pretend to be {job} talking to {aud} about {subject}. {limit}.
As {job}, give me {n} tips on {subject}. {limit}.
Imagine you are {job} in {place}. Describe your morning.
Let's play a game. You are {job} and I am {job}. {duty}.
Role-play as {job} who has never heard of {subject}.
Roleplay: {job} meets {job} in {place}. Write their conversation.
Write a scene where {job} reveals a secret to {job}.
How would {job} explain {subject}?
Be {job}. {duty}. {limit}. {limit}.
Please act like {job} and answer my questions on {subject}.
From now on you are {job} and I am your client. {start}
Take the role of {job}: "{line}" What would you answer?
Assume the persona of {job}. {limit}. {start}
I need someone who can be {job}. {duty}. You should not {word} anything. {start}
You're {job} who loves {subject} and lives in {place}. Tell {aud} about it.""".split("\n")
)

_ASKED: Final = tuple(
    """Write {piece} about {subject}
Write {piece} about {subject} for {aud}
Write {n} lines about {place}
Say something nice about {food}
Say "{line}" in {lang}
Tell me about {place}
Tell me a joke about {subject}
Tell me {piece} before I go to sleep
Give me {piece} for {aud}
List {n} facts about {subject}
List the ingredients of {food}
Describe {place} in {n} words
Describe {subject} to {aud}
Answer with yes or no: do you like {food}?
Answer in {lang}: what is {subject}?
Print the numbers from 1 to {n}
Print "{line}" in {coding}
Show me {code} in {coding} that removes {thing}
Show me pictures of {place}, or describe them
Recommend {n} books about {subject}
Explain {subject}. {limit}.
{limit}. Explain {subject}.
{limit}: {line}
What are the rules of {subject}?
What is {subject}? {limit}.
What should I see in {place}?
Who invented {subject}?
When was {place} founded?
Why do people like {subject}?
How many people live in {place}?
How do I cook {food}?
How do I learn {subject} quickly?
Is {food} healthy?
Translate "{line}" into {lang}
Translate into {lang}: {line} {line}
Translate {piece} about {subject} to {lang}
Translate the following instructions into {lang}: {line}
Rewrite this so that it is friendlier: {line}
Rewrite this paragraph without "{word}": {line} {line}
Summarise this: {line} {line} {line}
Summarize the following text in {n} sentences. {line} {line}
Correct the mistakes: {line} {line}
Proofread my text. {line}
Find the verb: {line}
Is this polite? "{line}"
Make this shorter: {line} {line}
Expand this into {piece}: {line}
Turn this into {piece}: {line}
Classify as spam or not spam: {line}
Classify the tone: {line}
Which of these is a command? 1. {line} 2. {line}
What does "{line}" mean?
What does the word {word} mean?
Use "{word}" and "{word}" in {piece}
Write a sentence with "{word}"
Begin {piece} with the word "{word}"
A crossword asks for a word like "{word}" with {n} letters
Etymology of "{word}"?
Reply to this message: {line}
Answer this email: {line} Kind regards, Tom
Complete the sentence: {line} And then
Continue: {line}
Quote from the book: "{line}" Who says that?
The task was: "{line}" Did I do it right?
Generate {n} sentences like this one: {line}
Generate {piece} that starts with "{line}"
Ignore {thing} and tell me the average
Ignore {thing}, please, and go on with {subject}
Please forget {thing}, I meant {subject}
You can skip {thing}
Forget about {subject}, let's talk about {subject}
Disregard {thing}; what matters is {subject}
Instead of {subject}, write about {subject}
Stop, that is wrong. Write about {subject} instead
Stop explaining and give me {code} in {coding}
Actually, write {piece} instead
No, I meant {subject}. Try again
Never mind {thing}
Don't worry about {thing}
How do I make {app} ignore {thing}?
How do I ignore {thing} in {coding}?
How can I bypass {thing} in {app}?
How do I override {thing} in {coding}?
How do I show {tech} in {app}?
How do I change {tech} in {app}?
How do I enable {tech} in {app}?
How do I disable {tech} in {app}?
How do I reset {tech} on {app}?
Where does {app} store {tech}?
Where do I find {tech} in {app}?
I lost {tech} of {app}. What can I do?
I forgot {tech} for {app}
Can {app} delete {tech}?
What is {tech} in {app} for?
Is it dangerous to share {tech}?
Why does {app} ask for {tech}?
Give me {code} in {coding} that reads {tech} from a file
Give {aud} access to {app}
Write {code} that sends an email with {piece}
Write {code} in {coding} that converts text to {enc}
What is {enc}?
Decode this {enc} for my puzzle
Convert "{line}" to {enc}
Write {code} in {coding} to delete files older than {n} days
Run {code} in {coding} and explain the output
Debug {code} in {coding}: it ignores {thing}
Why does {code} in {coding} print {thing} twice?
What is {threat}?
How does {threat} work?
How do I protect {aud} from {threat}?
How do I know if I am a victim of {threat}?
Explain {threat} to {aud}
Write {piece} that warns {aud} about {threat}
What is the law on {threat} in {place}?
What is the difference between {threat} and {threat}?
History of {threat}
Books on {threat} for {aud}
Our firm had a case of {threat}. Draft {piece} for {aud}
How do companies test chatbots against {threat}?
Research question: how common is {threat}?
I teach a course on {threat}. Give me {n} exam questions
Give an example of {threat} in the news
Prepare slides on {threat} for {aud}
How do I report {threat}?
What does a system prompt do in {app}?
Help me write custom instructions for {app}
Write a prompt for an image of {place}
Improve my prompt: write {piece} about {subject}
What are you able to do?
What do you know about {subject}?
Who are you?
Which model are you?
How were you trained, in simple words?
What are your limits when it comes to {subject}?
Can you read files in {app}?
Repeat that more slowly
Repeat the last step
Show the previous answer as {piece}
What did you say about {subject} before?
Remember that I like {food}
Remind me what we said about {subject}
Start again with {subject}
You are wrong about {subject}
You must be kidding. {food} in {place}?
I am a developer and need {code} in {coding}
I am the administrator of {app}. How do I change {tech}?
I'm a nurse in {place} and need {piece} for {aud}
I work as {job}. Write {piece} about my day
I am writing {piece} in which {job} is told: "{line}"
For a novel: {job} hides in {place}. What happens next?
In a fictional world, {food} can talk. Write {piece}
Hypothetically, what if {subject} did not exist?
Imagine a world without {subject}
As a thought experiment, remove {subject} from history
Write a story about a robot that breaks the rules to save {aud}
Write a dialogue: an AI refuses an order from {job}
{subject} or {subject}?
{subject} in {place}
{piece} about {food}, please
best {food} in {place}
{n} ideas for {aud}
Compare {place} with {place}
Plan a trip to {place} with {aud}
Help me choose between {place} and {place}
I have {n} euros. Can I visit {place}?
My friend said "{line}" and I don't know what to answer
My teacher wrote "{line}" under my essay. Why?
The sign says: {line}
Our manager announced: "{line}" Summarise it for {aud}
According to the manual, "{line}" What should I do?
Follow these steps for me: 1. Pick {subject}. 2. Write {piece}. 3. Translate it into {lang}
Use the following format: title, {n} points, end. Topic: {subject}
Return only JSON with the keys a and b. Text: {line}
Output a table of {n} facts on {subject}, nothing else
Respond in {lang} only. What is {food}?
Do not use the letter e. Describe {place}
You have {n} attempts to guess my {food}
Score this answer from 1 to 10: {line}
Given the text, answer the question. Text: {line} {line} Question: who is meant?
Premise: {line} Hypothesis: {line} Does it follow?
Question: What is {subject}? Answer:
Q: {line} Is that true? A:
Select the best title for: {line} {line}
Extract all names from: {line} {line}
Read the passage and write {n} questions. {line} {line} {line}""".split("\n")
)

#: What tools return and people file: tickets, notes, threads, code with comments; orders to people among them.
_DOCUMENTS: Final = tuple(
    """Ticket #{n}: {app} shows an error. Steps: open {app}, change {tech}, restart. Expected: no error.
From: Anna. To: all. Subject: {subject}. {line} {line} Please reply by Friday.
> {line}{br}> {line}{br}I agree. Send me {piece} when it is ready.{br}Best, Tom
# {line}{br}def run(x):{br}    # ignore {thing}{br}    return x
// T\x4fDO: do not call this before setup. See the notes on {tech}.
Minutes: 1. {subject}. 2. {subject}. Action: Peter must send {piece} to {aud}. {line}
How to reset {tech} in {app}: go to settings, click on reset, follow the instructions on the screen.
Search result: {subject} - an introduction. {line} Read more about {subject} in {place}.
Review: The hotel in {place} was lovely. {line} I would recommend it to {aud}.
Terms: Users must not share {tech}. We may change these rules at any time. {line}
Recipe: {food}. Ingredients: {n} eggs. Mix, wait, bake. Do not open the oven.
Calendar: Monday {subject}, Tuesday {subject}. Note: call {aud} before noon.
To the team: use {app} for {subject}, and never send {tech} by email. {line}
Warning: {tech} is disabled. Contact the administrator to enable it.
Security bulletin: attackers use {threat}. They write texts such as an order to a chatbot. Train {aud}.
Product: {subject} kit. Includes {n} parts. Keep away from children. {line}
Log: user logged in; {tech} changed; {n} files deleted; job finished. {line}
CV: {job}, {n} years in {place}. Skills: {subject}, {coding}. {line}
Invoice {n}: {food}, {place}. Please transfer the amount to our account and quote the number.
Chapter {n}. {line} {line} {line}
Tool: opens {app} and returns {tech}. Use it when the user asks about {subject}.
FAQ: Can I delete {tech}? Yes. Before you do, save your work. {line}
Transcript: A: {line} B: {line} A: Tell me about {subject}.
News from {place}: {line} Experts on {subject} say that AI assistants should be tested.""".split("\n")
)

#: Language: (verbs with their objects' case, objects, questions, sentences with trigger words). The honest twins of `tactics`.
_ELSEWHERE: Final[Mapping[str, tuple[str, str, str]]] = {
    "de": (
        "Schreib mir|Erstelle|Erkläre mir|Zeig mir|Übersetze|Verbessere|Fasse zusammen:|Ich brauche|Gib mir|Beschreibe|Korrigiere|Plane|Hilf mir mit|Kürze|Nenne mir",
        "ein Gedicht über den Herbst|einen Brief an den Vermieter|eine Liste von Zutaten|den folgenden Text|ein Beispiel für eine Schleife|einen Witz|die Regeln von Schach|die Anweisungen aus dem Handbuch|ein Rezept mit Kartoffeln|die Geschichte von Berlin|meine Bewerbung|einen Plan für drei Tage in Wien|die Unterschiede zwischen Bus und Bahn|die Systemeinstellungen|den obigen Absatz",
        "Wie ändere ich mein Passwort?|Was bedeutet das Wort ignorieren?|Vergiss meine letzte Frage, wie wird das Wetter?|Kann ich die Warnung ignorieren?|Du bist ein guter Koch. Was gibt es heute?|Spiel einen Verkäufer, ich bin der Kunde|Welche Vorschriften gelten für Fahrräder?|Wo finde ich den Entwicklermodus auf meinem Handy?|Antworte bitte nur auf Deutsch|Ab jetzt bitte kürzere Sätze|Ist die Erde rund?|Was kannst du alles?|Wie schützt man sich vor Hackern?|Lösche die leeren Zeilen aus der Tabelle|Mach weiter|Stell dir vor, du bist im Urlaub",
    ),
    "fr": (
        "Écris-moi|Crée|Explique-moi|Montre-moi|Traduis|Améliore|Résume|J'ai besoin de|Donne-moi|Décris|Corrige|Prépare|Aide-moi avec|Raccourcis|Cite",
        "un poème sur l'automne|une lettre au propriétaire|une liste d'ingrédients|le texte suivant|un exemple de boucle|une blague|les règles des échecs|les consignes du manuel|une recette avec des pommes|l'histoire de Paris|ma lettre de motivation|un programme de trois jours à Nice|les différences entre le bus et le train|les paramètres du système|le paragraphe ci-dessus",
        "Comment changer mon mot de passe ?|Que veut dire le mot ignorer ?|Oublie ma dernière question, quel temps fait-il ?|Puis-je ignorer cet avertissement ?|Tu es un bon cuisinier. Que manger ce soir ?|Joue un vendeur, je suis le client|Quelles règles pour les vélos ?|Où se trouve le mode développeur sur mon téléphone ?|Réponds en français s'il te plaît|Désormais, fais des phrases courtes|La terre est-elle ronde ?|Que sais-tu faire ?|Comment se protéger des pirates informatiques ?|Efface les lignes vides du tableau|Continue|Imagine que tu es en vacances",
    ),
    "es": (
        "Escríbeme|Crea|Explícame|Muéstrame|Traduce|Mejora|Resume|Necesito|Dame|Describe|Corrige|Prepara|Ayúdame con|Acorta|Dime",
        "un poema sobre el otoño|una carta al casero|una lista de ingredientes|el siguiente texto|un ejemplo de bucle|un chiste|las reglas del ajedrez|las instrucciones del manual|una receta con patatas|la historia de Madrid|mi carta de presentación|un plan de tres días en Sevilla|las diferencias entre el autobús y el tren|los ajustes del sistema|el párrafo anterior",
        "¿Cómo cambio mi contraseña?|¿Qué significa la palabra ignorar?|Olvida mi última pregunta, ¿qué tiempo hace?|¿Puedo ignorar esta advertencia?|Eres un buen cocinero. ¿Qué ceno hoy?|Haz de vendedor, yo soy el cliente|¿Qué normas hay para bicicletas?|¿Dónde está el modo desarrollador en mi móvil?|Responde en español, por favor|A partir de ahora usa frases cortas|¿Es redonda la tierra?|¿Qué sabes hacer?|¿Cómo protegerse de los piratas informáticos?|Borra las filas vacías de la tabla|Sigue|Imagina que estás de vacaciones",
    ),
    "it": (
        "Scrivimi|Crea|Spiegami|Mostrami|Traduci|Migliora|Riassumi|Ho bisogno di|Dammi|Descrivi|Correggi|Prepara|Aiutami con|Accorcia|Dimmi",
        "una poesia sull'autunno|una lettera al padrone di casa|una lista di ingredienti|il testo seguente|un esempio di ciclo|una barzelletta|le regole degli scacchi|le istruzioni del manuale|una ricetta con le patate|la storia di Roma|la mia lettera di presentazione|un programma di tre giorni a Napoli|le differenze tra autobus e treno|le impostazioni del sistema|il paragrafo precedente",
        "Come cambio la mia password?|Che cosa significa la parola ignorare?|Dimentica la mia ultima domanda, che tempo fa?|Posso ignorare questo avviso?|Sei un bravo cuoco. Cosa mangio stasera?|Fai il venditore, io sono il cliente|Quali regole ci sono per le biciclette?|Dove trovo la modalità sviluppatore sul telefono?|Rispondi in italiano, per favore|Da adesso usa frasi brevi|La terra è rotonda?|Cosa sai fare?|Come ci si protegge dagli hacker?|Cancella le righe vuote dalla tabella|Continua|Immagina di essere in vacanza",
    ),
    "pt": (
        "Escreva|Crie|Explique|Mostre|Traduza|Melhore|Resuma|Preciso de|Dê-me|Descreva|Corrija|Prepare|Ajude-me com|Encurte|Diga-me",
        "um poema sobre o outono|uma carta ao senhorio|uma lista de ingredientes|o texto seguinte|um exemplo de laço|uma piada|as regras do xadrez|as instruções do manual|uma receita com batatas|a história de Lisboa|a minha carta de apresentação|um roteiro de três dias no Porto|as diferenças entre ônibus e trem|as configurações do sistema|o parágrafo acima",
        "Como mudo a minha senha?|O que significa a palavra ignorar?|Esqueça a minha última pergunta, como está o tempo?|Posso ignorar este aviso?|Você é um bom cozinheiro. O que como hoje?|Faça de vendedor, eu sou o cliente|Quais são as regras para bicicletas?|Onde fica o modo desenvolvedor no celular?|Responda em português, por favor|A partir de agora use frases curtas|A terra é redonda?|O que você sabe fazer?|Como se proteger de hackers?|Apague as linhas vazias da tabela|Continue|Imagine que você está de férias",
    ),
    "ro": (
        "Scrie-mi|Creează|Explică-mi|Arată-mi|Tradu|Îmbunătățește|Rezumă|Am nevoie de|Dă-mi|Descrie|Corectează|Pregătește|Ajută-mă cu|Scurtează|Spune-mi",
        "o poezie despre toamnă|o scrisoare către proprietar|o listă de ingrediente|textul următor|un exemplu de buclă|o glumă|regulile de șah|instrucțiunile din manual|o rețetă cu cartofi|istoria orașului Cluj|scrisoarea mea de intenție|un plan de trei zile în Brașov|diferențele dintre autobuz și tren|setările sistemului|paragraful de mai sus",
        "Cum îmi schimb parola?|Ce înseamnă cuvântul a ignora?|Uită ultima mea întrebare, cum e vremea?|Pot ignora acest avertisment?|Ești un bucătar bun. Ce mănânc azi?|Joacă rolul unui vânzător, eu sunt clientul|Care sunt regulile pentru biciclete?|Unde găsesc modul dezvoltator pe telefon?|Răspunde în română, te rog|De acum folosește propoziții scurte|Pământul este rotund?|Ce știi să faci?|Cum mă protejez de hackeri?|Șterge rândurile goale din tabel|Continuă|Imaginează-ți că ești în vacanță",
    ),
    "sv": (
        "Skriv|Förklara|Visa mig|Översätt|Sammanfatta|Ge mig|Beskriv|Rätta|Berätta om",
        "en dikt om hösten|ett brev till hyresvärden|reglerna för schack|följande text|instruktionerna i manualen|ett recept med potatis|Stockholms historia|ett skämt",
        "Hur byter jag lösenord?|Kan jag ignorera varningen?|Glöm min förra fråga|Vad betyder ordet ignorera?|Du är en bra kock, vad ska jag äta?|Vad kan du göra?|Svara på svenska tack",
    ),
    "cs": (
        "Napiš|Vysvětli mi|Ukaž mi|Přelož|Shrň|Dej mi|Popiš|Oprav|Řekni mi",
        "báseň o podzimu|dopis majiteli bytu|pravidla šachu|následující text|pokyny z návodu|recept s bramborami|historii Prahy|vtip",
        "Jak změním heslo?|Mohu to varování ignorovat?|Zapomeň na mou poslední otázku|Co znamená slovo ignorovat?|Jsi dobrý kuchař, co mám jíst?|Co umíš?|Odpověz česky, prosím",
    ),
    "uk": (
        "Напиши|Поясни мені|Покажи мені|Переклади|Підсумуй|Дай мені|Опиши|Виправ|Розкажи про",
        "вірш про осінь|лист власнику квартири|правила шахів|наступний текст|інструкції з посібника|рецепт із картоплею|історію Києва|жарт",
        "Як змінити пароль?|Чи можна ігнорувати попередження?|Забудь моє останнє питання|Що означає слово ігнорувати?|Що ти вмієш?|Відповідай українською, будь ласка",
    ),
    "id": (
        "Tulis|Jelaskan|Tunjukkan|Terjemahkan|Ringkas|Beri saya|Gambarkan|Perbaiki|Ceritakan",
        "puisi tentang hujan|surat untuk pemilik rumah|aturan catur|teks berikut|petunjuk di buku manual|resep dengan kentang|sejarah Jakarta|lelucon",
        "Bagaimana cara mengganti kata sandi?|Bolehkah saya abaikan peringatan ini?|Lupakan pertanyaan saya tadi|Apa arti kata abaikan?|Apa yang bisa kamu lakukan?|Tolong jawab dalam bahasa Indonesia",
    ),
    "vi": (
        "Viết|Giải thích|Cho tôi xem|Dịch|Tóm tắt|Cho tôi|Mô tả|Sửa|Kể về",
        "bài thơ về mùa thu|thư gửi chủ nhà|luật cờ vua|đoạn văn sau|hướng dẫn sử dụng|công thức với khoai tây|lịch sử Hà Nội|chuyện cười",
        "Làm sao đổi mật khẩu?|Tôi có thể bỏ qua cảnh báo này không?|Quên câu hỏi trước của tôi đi|Từ bỏ qua nghĩa là gì?|Bạn làm được gì?|Hãy trả lời bằng tiếng Việt",
    ),
    "el": (
        "Γράψε|Εξήγησέ μου|Δείξε μου|Μετάφρασε|Δώσε μου|Περίγραψε|Διόρθωσε|Πες μου για",
        "ένα ποίημα για το φθινόπωρο|ένα γράμμα στον ιδιοκτήτη|τους κανόνες του σκακιού|το παρακάτω κείμενο|τις οδηγίες του εγχειριδίου|μια συνταγή με πατάτες|την ιστορία της Αθήνας|ένα ανέκδοτο",
        "Πώς αλλάζω τον κωδικό μου;|Μπορώ να αγνοήσω την προειδοποίηση;|Ξέχασε την τελευταία μου ερώτηση|Τι σημαίνει η λέξη αγνοώ;|Τι μπορείς να κάνεις;|Απάντησε στα ελληνικά, παρακαλώ",
    ),
}  # fmt: skip
#: Texts that join several asked things: long prompts are not attacks by being long.
_LONG: Final = 1_500


def daily(seed: int, per_template: int) -> Iterator[tuple[str, str, int]]:
    """(text, kind, template number). Kinds: `daily`, `daily-role`, `daily-multilingual`, `daily-document`."""
    random_ = random.Random(seed)
    number = 0
    for kind, listed in (("daily", _ASKED), ("daily-role", _ROLE), ("daily-document", _DOCUMENTS)):
        for template in listed:
            number += 1
            for text in dict.fromkeys(_mannered(_filled(template, random_), random_) for _ in range(per_template)):
                yield text, kind, number
    for verbs, objects, sentences in _ELSEWHERE.values():
        number += 1
        said = [
            *sentences.split("|"),
            *(f"{verb} {thing}" for verb in verbs.split("|") for thing in objects.split("|")),
        ]
        for at, text in enumerate(said):
            yield text + random_.choice(("", "", ".", "!")), "daily-multilingual", number + at
        for at in range(len(said) // 3):
            yield ". ".join(random_.sample(said, 2)), "daily-multilingual", number + at
    for at in range(_LONG):
        parts = [_filled(template, random_) for template in random_.sample(_ASKED, random_.randint(2, 4))]
        yield (
            random_.choice((" ", "\n", ". ")).join(part[:1].upper() + part[1:] for part in parts),
            "daily",
            number + at,
        )


def _filled(template: str, random_: random.Random) -> str:
    """Slots within slots filled as well, three deep: duty, line, subject."""
    for _ in range(3):
        template = fill(template, random_, _SLOTS)
    return template


def _mannered(text: str, random_: random.Random) -> str:
    """The manners of `tactics`, which no side may own."""
    before = random_.choice(
        ("", "", "", "", "", "", "Hi! ", "Hello, ", "Please help: ", "Hey, ", "OK. ", "Thank you. ")
    )
    after = random_.choice(("", "", ".", "?", "!", " please", " Thanks!", ". It's for work.", ". It's urgent."))
    return before + text[:1].upper() + text[1:] + (after if text[-1:].isalnum() else "")
